-- Marks finished tasks as archived: they stay readable for a while, then go with
-- their idempotency keys. ARGV: time to stay in ms, then ids. Safe to repeat.
for i = 2, #ARGV do
  local id = ARGV[i]
  if redis.call('ZREM', P .. 'finished', id) == 1 then
    local t = redis.call('HMGET', P .. 'task:' .. id, 'queue', 'key')
    count(t[1], 'archived', 1)
    redis.call('PEXPIRE', P .. 'task:' .. id, ARGV[1])
    redis.call('ZADD', P .. 'archived', int(now), id)
    if t[2] ~= '' then redis.call('PEXPIRE', P .. 'key:' .. t[2], ARGV[1]) end
  end
end
return 1
