-- KEYS seen, addresses, urls, aside. ARGV name, address, url, term in ms (0: it leaves), aside (1: it takes no partition).
-- Answers name, address, url and aside of those that live, one after the other. Who stands aside is in a place of its own,
-- so that a replica of an older version plans without it, as it must.
local t = redis.call('TIME')
local ms = t[1] * 1000 + math.floor(t[2] / 1000)
local leaves, aside = ARGV[4] == '0', ARGV[5] == '1'
if leaves or aside then
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('HDEL', KEYS[2], ARGV[1])
  redis.call('HDEL', KEYS[3], ARGV[1])
else
  redis.call('ZADD', KEYS[1], ms + ARGV[4], ARGV[1])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
  redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
end
if aside and not leaves then
  redis.call('HSET', KEYS[4], ARGV[1], string.format('%.0f %s', ms + ARGV[4], ARGV[2]))
else
  redis.call('HDEL', KEYS[4], ARGV[1])
end
for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ms)) do
  redis.call('ZREM', KEYS[1], name)
  redis.call('HDEL', KEYS[2], name)
  redis.call('HDEL', KEYS[3], name)
end
local alive = {}
local function add(name, address, url, mark)
  alive[#alive + 1], alive[#alive + 2], alive[#alive + 3], alive[#alive + 4] = name, address, url, mark
end
local addresses = redis.call('HGETALL', KEYS[2])
for i = 1, #addresses, 2 do
  -- A replica of an older version has told no url.
  add(addresses[i], addresses[i + 1], redis.call('HGET', KEYS[3], addresses[i]) or '', '')
end
local standing = redis.call('HGETALL', KEYS[4])
for i = 1, #standing, 2 do
  local till, address = string.match(standing[i + 1], '^(%d+) (.*)$')
  if tonumber(till) <= ms then
    redis.call('HDEL', KEYS[4], standing[i])
  else
    add(standing[i], address, '', '1')
  end
end
return alive
