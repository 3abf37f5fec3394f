-- KEYS: processes, holders. ARGV: process, whether it ends, partitions.
for at = 3, #ARGV do
  local holder = redis.call('HGET', KEYS[2], ARGV[at])
  if holder and string.match(holder, '^(.*) [^ ]*$') == ARGV[1] then
    redis.call('HDEL', KEYS[2], ARGV[at])
  end
end
if ARGV[2] == '1' then redis.call('ZREM', KEYS[1], ARGV[1]) end
