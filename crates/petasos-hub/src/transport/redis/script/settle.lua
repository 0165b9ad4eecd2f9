-- Says what became of a writer's groups, and sees to it that those up to a number that are not stored never will be. Makes
-- the log where there is none.
--
-- Arguments: writer, the number of the newest group it has sent, the newest position its node knows of. Answers 0 and the outcomes of the newest groups, or 2 and
-- what is wrong with the log.

-- What each key holds. Anything else would stop an append half-way.
local TYPES = { 'stream', 'hash', 'hash', 'hash', 'hash', 'zset', 'zset', 'hash', 'hash' }
for place, key in ipairs(KEYS) do
  local kind = call('TYPE', key).ok
  if kind ~= 'none' and kind ~= TYPES[place] then
    return { 2, 'foreign' }
  end
end
local s, problem = load()
if not s then
  return { 2, problem }
end
local known = call('HGET', WRITERS, ARGV[1])
local last, outcomes = string.match(known or '', '^(%d+) %d+ (.*)$')
local newest = math.max(tonumber(last or '0'), tonumber(ARGV[2]))
-- Whoever appends next is told what was there before.
local seen = tonumber(ARGV[3])
if s.is_new or seen > math.max(s.position, s.seen) then
  s.seen = math.max(seen, s.seen)
  save(s)
end
call('HSET', WRITERS, ARGV[1], int(newest) .. ' ' .. int(now_ms()) .. ' ' .. (outcomes or ''))
-- Who may not do one of these would stop an append half-way.
call('HSETNX', STATE, 'format', FORMAT)
call('HDEL', STATE, '')
call('ZADD', NODES, 'XX', '0', '')
call('ZREM', HELD, '')
call('XTRIM', LOG, 'MINID', '0-1')
return { 0, outcomes or '' }
