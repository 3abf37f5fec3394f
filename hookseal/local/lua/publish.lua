-- KEYS: prefix. ARGV: limit of unfinished events (-1 = none), window in ms, partitions, records.
-- Returns partition and offset of each record; or 'full'; or 'reused' and an index.
local writes = {}
for at = 4, #ARGV, 7 do writes[#writes + 1] = record_at(at) end
local known, first, fresh = {}, {}, 0
for index, write in ipairs(writes) do
  if write.m then
    local found = redis.call('GET', KEYS[1] .. 'id:' .. write.m)
    if found then
      found = cmsgpack.unpack(found)
      if found.f ~= write.f then return {'reused', index - 1} end
      known[index] = found
    elseif first[write.m] then
      if writes[first[write.m]].f ~= write.f then return {'reused', index - 1} end
    else
      first[write.m] = index
      fresh = fresh + 1
    end
  else
    fresh = fresh + 1
  end
end
local room = tonumber(ARGV[1])
if room >= 0 and fresh > 0 then
  local there = 0
  for partition = 0, tonumber(ARGV[3]) - 1 do
    there = there + redis.call('XLEN', KEYS[1] .. 'events:' .. partition)
  end
  if there + fresh > room then return {'full'} end
end
local positions = {}
for index, write in ipairs(writes) do
  local position = known[index]
  if not position and write.m and first[write.m] ~= index then position = known[first[write.m]] end
  if not position then
    position = {p = write.p, o = add(KEYS[1] .. 'events:' .. write.p, write), f = write.f}
    known[index] = position
    if write.m then
      redis.call('SET', KEYS[1] .. 'id:' .. write.m, cmsgpack.pack(position), 'PX', ARGV[2])
    end
  end
  positions[#positions + 1] = position.p
  positions[#positions + 1] = position.o
end
return positions
