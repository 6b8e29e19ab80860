-- Gives executions back. ARGV: agent, session whose stream has ended (or ""),
-- then id and attempt of each. Answers how many were held and given back.
local agent, session, released = ARGV[1], ARGV[2], 0
for i = 3, #ARGV, 2 do
  if release(agent, ARGV[i], ARGV[i + 1]) then released = released + 1 end
end
if session ~= '' and redis.call('HGET', P .. 'agent:' .. agent, 'session') == session then
  redis.call('HSET', P .. 'agent:' .. agent, 'instance', '')
end
return released
