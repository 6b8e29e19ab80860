-- Takes or keeps the lock of the replica that archives. ARGV: instance, ms. Answers 1
-- when it has it.
local holder = redis.call('GET', P .. 'archiver')
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', P .. 'archiver', ARGV[1], 'PX', ARGV[2])
return 1
