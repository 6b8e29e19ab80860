-- KEYS owner. Answers {name, ms left}; {'', 0} where nobody holds the partition.
local now = redis.call('HMGET', KEYS[1], 'name', 'until')
local t = redis.call('TIME')
local left = tonumber(now[2] or '0') - (t[1] * 1000 + math.floor(t[2] / 1000))
if not now[1] or left <= 0 then return {'', 0} end
return {now[1], left}
