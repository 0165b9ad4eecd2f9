-- What every script begins with: the keys of a log, its state, and how events are forgotten.
--
-- A script is one transaction: nobody sees half of it, and replicas and the append-only file get it as a whole. One that
-- fails in the middle leaves what it has done, so everything that can be wrong is looked at before the first write; a
-- server that is out of memory refuses the first write, and none after it.
--
-- An event is in the stream for a while after it was discarded, so that tails that are a little behind still read it:
-- `floor` is the newest event discarded, `trimmed` the newest that has left the stream.

local LOG, STATE, IDS, AGAIN = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local SUBS, HELD, NODES, SINCE, WRITERS = KEYS[5], KEYS[6], KEYS[7], KEYS[8], KEYS[9]

local FORMAT = '1'
-- What positions are raised by where another server has taken over: more than what that could have lost.
local JUMP = 1048576
-- Events discarded in one call, and their bytes, so that no other client waits for long.
local BUDGET, BUDGET_BYTES = 5000, 4194304
-- Bytes that are looked at together.
local PAGE_BYTES = 262144
-- How long discarded events stay for tails that are behind, and how many bytes of them.
local GRACE_MS, GRACE_BYTES = 5000, 67108864

local call = redis.call

-- Lua writes large numbers with an exponent.
local function int(number)
  return string.format('%.0f', number)
end

local function now_ms()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The state, or nothing and what is wrong with it. `base` is where the log began, `torn` the newest position after which
-- events were lost by a change of servers, `seen` the newest that some hub had seen then.
local function load()
  local v = call('HMGET', STATE, 'format', 'position', 'id', 'floor', 'trimmed', 'events', 'bytes', 'server',
    'grace_floor', 'grace_at', 'grace_bytes', 'base', 'torn', 'seen')
  if not v[1] then
    if call('EXISTS', LOG) == 1 then
      return nil, 'incomplete'
    end
    -- Later than any log with this prefix that was here before, unless that had a million events a second.
    local base = now_ms() * 1024
    return { is_new = true, position = base, floor = base, trimmed = base, events = 0, bytes = 0, grace_floor = base,
      grace_at = 0, grace_bytes = 0, id = '', server = '', base = base, torn = 0, seen = 0 }
  end
  if v[1] ~= FORMAT then
    return nil, 'format'
  end
  local events = tonumber(v[6])
  if events > 0 and call('EXISTS', LOG, IDS) ~= 2 then
    return nil, 'incomplete'
  end
  return { position = tonumber(v[2]), id = v[3], floor = tonumber(v[4]), trimmed = tonumber(v[5]), events = events,
    bytes = tonumber(v[7]), server = v[8], grace_floor = tonumber(v[9]), grace_at = tonumber(v[10]),
    grace_bytes = tonumber(v[11]), base = tonumber(v[12]), torn = tonumber(v[13]), seen = tonumber(v[14]) }
end

local function save(s)
  call('HSET', STATE, 'format', FORMAT, 'position', int(s.position), 'id', s.id, 'floor', int(s.floor),
    'trimmed', int(s.trimmed), 'events', int(s.events), 'bytes', int(s.bytes), 'server', s.server,
    'grace_floor', int(s.grace_floor), 'grace_at', int(s.grace_at), 'grace_bytes', int(s.grace_bytes),
    'base', int(s.base), 'torn', int(s.torn), 'seen', int(s.seen))
end

-- How many entries are likely to have so many bytes.
local function entries_of(s, bytes)
  if s.events == 0 then
    return 1
  end
  return math.max(1, math.floor(bytes / (s.bytes / s.events + 1)))
end

-- The bytes of an event, see `remote/wire.rs`: version, flags, time, retry, number of topics, length of the id, id.
local HEADER_BYTES = 34

local function at_of(event)
  return #event >= HEADER_BYTES and struct.unpack('<I8', event, 3) or 0
end

local function id_of(event)
  return #event >= HEADER_BYTES and string.sub(event, 35, 34 + struct.unpack('<I8', event, 27)) or ''
end

-- An id has its earliest event; one that was published again also its latest, and each of its events but that one has
-- the next in AGAIN. So whichever is discarded, the next takes its place in constant time.
local function remember(id, position)
  if call('HSETNX', IDS, id, position) == 1 then
    return
  end
  local first, last = string.match(call('HGET', IDS, id), '^(%d+) ?(%d*)$')
  if last == '' then
    last = first
  end
  call('HSET', AGAIN, last, position)
  call('HSET', IDS, id, first .. ' ' .. position)
end

local function forget(id, position)
  local first, last = string.match(call('HGET', IDS, id) or '', '^(%d+) ?(%d*)$')
  if first ~= position then
    return
  end
  if last == '' then
    call('HDEL', IDS, id)
    return
  end
  local second = call('HGET', AGAIN, first)
  call('HDEL', AGAIN, first)
  if not second or second == last then
    call('HSET', IDS, id, last)
  else
    call('HSET', IDS, id, second .. ' ' .. last)
  end
end

-- When an event was stored, by the server's clock; one that was imported, when it says.
local function stored_at(fields)
  return tonumber(fields[6]) or at_of(fields[2])
end

-- Discards the oldest events as long as there are more than `events` or `bytes` allow (0: no bound), they are from before
-- `oldest` or stand up to `until_position`, `budget` bytes of them at most. Returns how many, and whether there are more.
local function retain(s, events, bytes, oldest, until_position, budget)
  local count, discarded = 0, 0
  local function too_many()
    return events > 0 and s.events > events
  end
  local function too_much()
    return bytes > 0 and s.bytes > bytes
  end
  local looks = oldest > 0 or until_position > s.floor
  while s.events > 0 and (too_many() or too_much() or looks) do
    local page = math.min(entries_of(s, PAGE_BYTES), 16)
    if too_many() then
      page = math.min(s.events - events, entries_of(s, PAGE_BYTES), 128)
    elseif count == 0 and not too_much() then
      page = 1
    end
    local entries = call('XRANGE', LOG, '(' .. int(s.floor) .. '-0', '+', 'COUNT', page)
    if #entries == 0 then
      s.events, s.bytes = 0, 0
    end
    for _, entry in ipairs(entries) do
      local position = string.match(entry[1], '^%d+')
      local event, weight = entry[2][2], tonumber(entry[2][4]) or 0
      if not (too_many() or too_much() or tonumber(position) <= until_position
          or (oldest > 0 and stored_at(entry[2]) < oldest)) then
        return count, false
      end
      if count >= BUDGET or discarded >= budget then
        return count, true
      end
      forget(id_of(event), position)
      s.floor = tonumber(position)
      s.events = s.events - 1
      s.bytes = math.max(s.bytes - weight, 0)
      s.grace_bytes = s.grace_bytes + weight
      count = count + 1
      discarded = discarded + weight
    end
  end
  return count, false
end

-- Takes discarded events out of the stream once they have been discarded for a while.
local function sweep(s, now)
  local target = s.trimmed
  if s.grace_bytes > GRACE_BYTES then
    target, s.grace_floor, s.grace_at, s.grace_bytes = s.floor, s.floor, now, 0
  elseif now - s.grace_at >= GRACE_MS or now < s.grace_at then
    target, s.grace_floor, s.grace_at, s.grace_bytes = s.grace_floor, s.floor, now, 0
  end
  if target > s.trimmed then
    call('XTRIM', LOG, 'MINID', int(target + 1) .. '-0')
    s.trimmed = target
  end
end

