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
