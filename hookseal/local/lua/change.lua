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
