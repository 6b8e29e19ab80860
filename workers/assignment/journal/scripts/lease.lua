-- KEYS owner, log, snap. ARGV epoch, lease in ms; 0 releases.
-- Answers {'ok'}, {'fenced', epoch now} or {'lost', last sequence}.
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if not epoch then return lost(ARGV[1], KEYS[2], KEYS[3]) end
if epoch ~= ARGV[1] then return {'fenced', epoch} end
local t = redis.call('TIME')
local till = '0'
if ARGV[2] ~= '0' then till = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[2]) end
redis.call('HSET', KEYS[1], 'until', till)
return {'ok'}
