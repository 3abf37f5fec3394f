-- KEYS: settled, replays. ARGV: the ledger entry, offsets.
for at = 8, #ARGV do redis.call('ZADD', KEYS[1], ARGV[at], ARGV[at]) end
add(KEYS[2], record_at(1))
