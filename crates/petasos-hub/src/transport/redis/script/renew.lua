-- Renews the lease of a node by the server's clock.
--
-- Arguments: node, lease, a token made for this call. Answers the token of the call with which the lease began to run
-- without a break: a node some of whose answers were lost can tell whether it is still the same.

local now = now_ms()
local expires = call('ZSCORE', NODES, ARGV[1])
local since = call('HGET', SINCE, ARGV[1])
if not expires or tonumber(expires) < now or not since then
  since = ARGV[3]
  call('HSET', SINCE, ARGV[1], since)
end
call('ZADD', NODES, int(now + tonumber(ARGV[2])), ARGV[1])
return since
