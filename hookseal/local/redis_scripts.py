"""Lua scripts: steps that Redis must execute atomically.

A record is seven arguments: partition, headers, timestamp in ms, key, value, mark and fingerprint.
Each of the last four has a `=` in front, or is empty for nil. Streams number their records `0-1`,
`0-2`, …: an offset is that number minus one. A stream continues to count when records are
deleted.
"""

from __future__ import annotations

_ADD = """
local function given(text)
  if text == '' then return nil end
  return string.sub(text, 2)
end
local function record_at(at)
  return {p = ARGV[at], h = ARGV[at + 1], t = ARGV[at + 2], k = given(ARGV[at + 3]),
          v = given(ARGV[at + 4]), m = given(ARGV[at + 5]), f = given(ARGV[at + 6])}
end
local function add(stream, record)
  local fields = {'h', record.h, 't', record.t}
  if record.k then fields[#fields + 1] = 'k'; fields[#fields + 1] = record.k end
  if record.v then fields[#fields + 1] = 'v'; fields[#fields + 1] = record.v end
  local id = redis.call('XADD', stream, '0-*', unpack(fields))
  return tonumber(string.sub(id, 3)) - 1
end
"""

START = """
-- KEYS: meta. ARGV: format, partitions.
-- Returns the format and the number of partitions of the store.
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'form', ARGV[1], 'partitions', ARGV[2])
end
return redis.call('HMGET', KEYS[1], 'form', 'partitions')
"""

PUBLISH = (
    _ADD
    + """
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
"""
)

SETTLE = (
    _ADD
    + """
-- KEYS: settled, replays. ARGV: the ledger entry, offsets.
for at = 8, #ARGV do redis.call('ZADD', KEYS[1], ARGV[at], ARGV[at]) end
add(KEYS[2], record_at(1))
"""
)

REPLAY = (
    _ADD
    + """
-- KEYS: settled, replays, events. ARGV: the ledger entry; offset and record of each letter.
-- Returns the number of published records.
local published = 0
for at = 8, #ARGV, 8 do
  if redis.call('ZADD', KEYS[1], 'NX', ARGV[at], ARGV[at]) == 1 then
    add(KEYS[3], record_at(at + 1))
    published = published + 1
  end
end
add(KEYS[2], record_at(1))
return published
"""
)

CHANGE = (
    _ADD
    + """
-- KEYS: tenants, changes, events. ARGV: customer id, whether a document is expected, the expected
-- document, whether to store one, the new document, changes to remember, a notice if any.
-- Returns the new version, or -1 if another document was found.
local there = redis.call('HGET', KEYS[1], ARGV[1])
if (ARGV[2] == '0' and there) or (ARGV[2] == '1' and there ~= ARGV[3]) then return -1 end
if ARGV[4] == '0' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[5])
end
if #ARGV > 6 then add(KEYS[3], record_at(7)) end
local id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[6], '0-*', 'c', ARGV[1])
return tonumber(string.sub(id, 3))
"""
)

DROP_OLDER = """
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
"""

HEARTBEAT = """
-- KEYS: processes, holders. ARGV: process, its new token, lease in ms, partitions.
-- Returns the process's share, then partition and token of each of its leases.
-- The leases of a process without a heartbeat expire when another process asks.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[1])
local count = tonumber(ARGV[4])
local share = math.ceil(count / redis.call('ZCARD', KEYS[1]))
local mine, free = {}, {}
for partition = 0, count - 1 do
  local holder = redis.call('HGET', KEYS[2], partition)
  local name = holder and string.match(holder, '^(.*) [^ ]*$')
  if name == ARGV[1] then
    mine[#mine + 1] = {partition, string.match(holder, '[^ ]*$')}
  elseif not name or not redis.call('ZSCORE', KEYS[1], name) then
    free[#free + 1] = partition
  end
end
for _, partition in ipairs(free) do
  if #mine >= share then break end
  redis.call('HSET', KEYS[2], partition, ARGV[1] .. ' ' .. ARGV[2])
  mine[#mine + 1] = {partition, ARGV[2]}
end
local answer = {share}
for _, one in ipairs(mine) do
  answer[#answer + 1] = one[1]
  answer[#answer + 1] = one[2]
end
return answer
"""

RELEASE = """
-- KEYS: processes, holders. ARGV: process, whether it ends, partitions.
for at = 3, #ARGV do
  local holder = redis.call('HGET', KEYS[2], ARGV[at])
  if holder and string.match(holder, '^(.*) [^ ]*$') == ARGV[1] then
    redis.call('HDEL', KEYS[2], ARGV[at])
  end
end
if ARGV[2] == '1' then redis.call('ZREM', KEYS[1], ARGV[1]) end
"""
