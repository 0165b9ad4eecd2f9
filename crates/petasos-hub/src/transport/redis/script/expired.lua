-- Lists subscriptions of nodes whose lease has run out, and forgets such nodes where they have none left.
--
-- Argument: how many at most. Answers their records.

-- Nodes looked at in one call.
local NODES_AT_ONCE = 100

local limit = tonumber(ARGV[1])
local records = {}
local dead = call('ZRANGEBYSCORE', NODES, '-inf', '(' .. int(now_ms()), 'LIMIT', 0, NODES_AT_ONCE)
for _, node in ipairs(dead) do
  if #records >= limit then
    break
  end
  local held =
    call('ZRANGEBYLEX', HELD, '[' .. node .. ' ', '(' .. node .. '!', 'LIMIT', 0, int(limit - #records))
  if #held == 0 then
    call('ZREM', NODES, node)
    call('HDEL', SINCE, node)
  end
  for _, member in ipairs(held) do
    local record = call('HGET', SUBS, string.sub(member, 38))
    if record then
      records[#records + 1] = string.sub(record, 37)
    else
      call('ZREM', HELD, member)
    end
  end
end
return records
