-- Reads events, bounded in number and in bytes, at least one.
--
-- Arguments: the position after which, and up to which, how many events and bytes, and 1 where events that were discarded
-- and are still in the stream count as well. Answers 0, the newest position, the newest discarded, where the log began,
-- whether nothing was left, and the entries; or 2 and what is wrong with the log.

local s, problem = load()
if not s then
  return { 2, problem }
end
local events, bytes = tonumber(ARGV[3]), tonumber(ARGV[4])
local from = ARGV[1]
if ARGV[5] ~= '1' and tonumber(from) < s.floor then
  from = int(s.floor)
end
local found, size, done = {}, 0, false
local count = math.min(entries_of(s, bytes), 16)
while not done do
  count = math.max(1, math.min(count, events - #found))
  local entries = call('XRANGE', LOG, '(' .. from .. '-0', ARGV[2] .. '-0', 'COUNT', count)
  for _, entry in ipairs(entries) do
    if #found > 0 and (#found >= events or size >= bytes) then
      done = true
      break
    end
    found[#found + 1] = entry
    size = size + (tonumber(entry[2][4]) or 0)
    from = string.match(entry[1], '^%d+')
  end
  if not done and #entries < count then
    return { 0, int(s.position), int(s.floor), int(s.base), 1, found }
  end
  done = done or #found >= events or size >= bytes
  count = math.min(math.floor((bytes - size) / (size / math.max(#found, 1) + 1)) + 1, 256)
end
return { 0, int(s.position), int(s.floor), int(s.base), 0, found }
