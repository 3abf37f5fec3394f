-- KEYS: stream, settled (optional). ARGV: timestamp in ms.
while true do
  local found = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 500)
  local keep = nil
  for _, one in ipairs(found) do
    for at = 1, #one[2], 2 do
      if one[2][at] == 't' and tonumber(one[2][at + 1]) >= tonumber(ARGV[1]) then keep = one[1] end
    end
    if keep then break end
  end
  if keep then
    redis.call('XTRIM', KEYS[1], 'MINID', keep)
    break
  end
  if #found == 0 then break end
  redis.call('XTRIM', KEYS[1], 'MINID', '0-' .. (tonumber(string.sub(found[#found][1], 3)) + 1))
end
if KEYS[2] then
  local left = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
  if #left > 0 then
    local first = tonumber(string.sub(left[1][1], 3)) - 1
    redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', '(' .. first)
  end
end
