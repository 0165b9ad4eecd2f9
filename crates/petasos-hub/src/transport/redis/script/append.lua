-- Appends a group of entries, as a whole, if it is the next of its writer.
--
-- Arguments: writer, number of the group, newest position its node knows of, server, 1 if that took over from another and may
-- lack what that had, events, bytes and age to keep; then for each entry its kind (nothing, `I` for one that keeps its time,
-- `S` or `E`), event and weight, and for a start or an end the subscription's field and record.
--
-- Answers 0, the position of the first entry, whether there is more to discard, and the places of entries that were
-- no-ops; or 1 where this is not the writer's next group; or 2 and what is wrong with the log.

-- Groups whose outcome is remembered: at least as many as a writer has under way.
local OUTCOMES = 8

local writer, group = ARGV[1], tonumber(ARGV[2])
local s, problem = load()
if not s then
  return { 2, problem }
end
local known = call('HGET', WRITERS, writer)
local last, outcomes = string.match(known or '', '^(%d+) %d+ (.*)$')
if tonumber(last) ~= group - 1 then
  return { 1 }
end

-- A node that has this lease already keeps it. One that has none is looked after by the others at once.
local function begin(field, record)
  local node = string.sub(record, 1, 36)
  local before = call('HGET', SUBS, field)
  call('HSET', SUBS, field, record)
  if before then
    call('ZREM', HELD, string.sub(before, 1, 36) .. ' ' .. field)
  end
  call('ZADD', HELD, '0', node .. ' ' .. field)
  call('ZADD', NODES, 'NX', '0', node)
end

local function finish(field, record)
  local node = string.sub(record, 1, 36)
  local before = call('HGET', SUBS, field)
  if not before or string.sub(before, 1, 36) ~= node then
    return false
  end
  call('HDEL', SUBS, field)
  call('ZREM', HELD, node .. ' ' .. field)
  return true
end

local seen, server = math.max(tonumber(ARGV[3]), s.seen), ARGV[4]
local base, torn = s.position, s.torn
if s.position < seen or (s.server ~= '' and s.server ~= server) then
  -- What the server before had given out after this one's last copy of it must never be given to other events.
  base = math.max(s.position, seen) + JUMP
  if s.position < seen or ARGV[5] == '1' then
    torn = s.position
  end
end

local now = now_ms()
local stored_now = int(now)
local first = base + 1
local no_ops = {}
local place, count, appended = 9, 0, 0
while place <= #ARGV do
  local kind, event, weight = ARGV[place], ARGV[place + 1], ARGV[place + 2]
  place = place + 3
  local stored = true
  if kind == 'S' then
    begin(ARGV[place], ARGV[place + 1])
    place = place + 2
  elseif kind == 'E' then
    stored = finish(ARGV[place], ARGV[place + 1])
    place = place + 2
  end
  if stored then
    s.position, s.torn, s.server = math.max(s.position, base) + 1, torn, server
    local position = int(s.position)
    if kind == 'I' then
      call('XADD', LOG, position .. '-0', 'e', event, 'w', weight)
    else
      call('XADD', LOG, position .. '-0', 'e', event, 'w', weight, 't', stored_now)
    end
    s.id = id_of(event)
    remember(s.id, position)
    s.events = s.events + 1
    s.bytes = s.bytes + tonumber(weight)
    appended = appended + tonumber(weight)
  else
    no_ops[#no_ops + 1] = count
  end
  count = count + 1
end

local age = tonumber(ARGV[8])
local _, more = retain(s, tonumber(ARGV[6]), tonumber(ARGV[7]), age > 0 and now - age or 0, 0, BUDGET_BYTES + appended)
sweep(s, now)
save(s)

local remembered = { ARGV[2] .. ':' .. int(first) .. ':' .. table.concat(no_ops, ',') }
for outcome in string.gmatch(outcomes, '[^;]+') do
  if #remembered == OUTCOMES then
    break
  end
  remembered[#remembered + 1] = outcome
end
call('HSET', WRITERS, writer, ARGV[2] .. ' ' .. int(now) .. ' ' .. table.concat(remembered, ';'))

local answer = { 0, first, more and 1 or 0 }
for _, index in ipairs(no_ops) do
  answer[#answer + 1] = index
end
return answer
