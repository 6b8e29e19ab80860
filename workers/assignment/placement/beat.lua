-- KEYS seen, addresses, urls. ARGV name, address, url, term in ms; 0: it leaves.
-- Answers name, address and url of those that live, one after the other.
local t = redis.call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
if ARGV[4] == '0' then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('HDEL', KEYS[3], ARGV[1])
else
  redis.call('ZADD', KEYS[1], ms + ARGV[4], ARGV[1])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
  redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ms)) do
  redis.call('ZREM', KEYS[1], name)
  redis.call('HDEL', KEYS[2], name)
  redis.call('HDEL', KEYS[3], name)
end
local alive = {}
local addresses = redis.call('HGETALL', KEYS[2])
for i = 1, #addresses, 2 do
  -- A replica of an older version has told no url.
  local url = redis.call('HGET', KEYS[3], addresses[i]) or ''
  alive[#alive + 1], alive[#alive + 2], alive[#alive + 3] = addresses[i], addresses[i + 1], url
end
return alive
