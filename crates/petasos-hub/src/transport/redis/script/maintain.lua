-- What must be done also while nobody publishes: discards what is too old, too much, or stands up to a position, and takes
-- it out of the stream; forgets writers that have been silent.
--
-- Arguments: events, bytes and age to keep, the position up to which everything goes, how long a writer may be silent (0:
-- they are left alone). Answers 0, how many events were discarded and whether there are more; or 2 and what is wrong with
-- the log.

local s, problem = load()
if not s then
  return { 2, problem }
end
-- A server that is out of memory refuses the first write, if that may take any. This one may not.
call('HDEL', STATE, '')
local now = now_ms()
local silence = tonumber(ARGV[5])
if silence > 0 then
  local writers = call('HGETALL', WRITERS)
  for place = 1, #writers, 2 do
    local at = tonumber(string.match(writers[place + 1], '^%d+ (%d+)') or '0')
    if now - at > silence then
      call('HDEL', WRITERS, writers[place])
    end
  end
end
if s.is_new then
  return { 0, 0, 0 }
end
local before, trimmed = s.floor, s.trimmed
local age = tonumber(ARGV[3])
local count, more =
  retain(s, tonumber(ARGV[1]), tonumber(ARGV[2]), age > 0 and now - age or 0, math.min(tonumber(ARGV[4]), s.position),
    BUDGET_BYTES)
local swept = s.grace_floor ~= s.floor or s.floor ~= s.trimmed
if swept then
  sweep(s, now)
end
if s.floor ~= before or s.trimmed ~= trimmed or swept then
  save(s)
end
return { 0, count, more and 1 or 0 }
