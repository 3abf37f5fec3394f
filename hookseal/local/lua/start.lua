-- KEYS: meta. ARGV: format, partitions.
-- Returns the format and the number of partitions of the store.
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'form', ARGV[1], 'partitions', ARGV[2])
end
return redis.call('HMGET', KEYS[1], 'form', 'partitions')
