-- Before every script. A record is seven arguments: partition, headers, timestamp in ms, key, value,
-- mark and fingerprint. Each of the last four has a `=` in front, or is empty for nil. Streams number
-- their records `0-1`, `0-2`, ...: an offset is that number minus one. A stream continues to count
-- when records are deleted.
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
