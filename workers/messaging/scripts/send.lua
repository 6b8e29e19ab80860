-- Stores a message in an inbox once. KEYS: stream, mark of the sender's id.
-- ARGV: sender, id, body, time of storing in ms, most messages, how long the
-- mark and an untouched inbox are kept in ms, channel, agent. Answers status
-- (stored, duplicate, full) and cursor.
local cursor = ARGV[2] ~= '' and redis.call('GET', KEYS[2])
if cursor then return {'duplicate', cursor} end
if redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[5]) then return {'full', ''} end
cursor = redis.call('XADD', KEYS[1], '*', 'from', ARGV[1], 'id', ARGV[2], 'body', ARGV[3], 'at', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[7])
if ARGV[2] ~= '' then redis.call('SET', KEYS[2], cursor, 'PX', ARGV[6]) end
redis.call('PUBLISH', ARGV[8], 'w:' .. ARGV[9])
return {'stored', cursor}
