-- Says what became of a writer's groups, and sees to it that those up to a number that are not stored never will be. Makes
-- the log where there is none.
--
-- Arguments: writer, the number of the newest group it has sent. Answers 0 and the outcomes of the newest groups, or 2 and
-- what is wrong with the log.

local s, problem = load()
if not s then
  return { 2, problem }
end
local known = call('HGET', WRITERS, ARGV[1])
local last, outcomes = string.match(known or '', '^(%d+) %d+ (.*)$')
local newest = math.max(tonumber(last or '0'), tonumber(ARGV[2]))
if s.is_new then
  save(s)
end
call('HSET', WRITERS, ARGV[1], int(newest) .. ' ' .. int(now_ms()) .. ' ' .. (outcomes or ''))
return { 0, outcomes or '' }
