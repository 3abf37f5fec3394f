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
