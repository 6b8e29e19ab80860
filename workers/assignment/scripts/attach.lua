-- Records an agent's new stream; an older stream of the same agent is replaced.
-- ARGV: agent, session, instance, capacity, capabilities, labels (JSON), lease in
-- µs, then id and attempt of each execution the agent still works on. Those are
-- renewed; whatever else it is recorded to hold never reached it, or was dropped
-- with the old stream, and is given back. Answers the ids it has lost.
local agent, session, instance, capacity, caps, labels, lease = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], tonumber(ARGV[7])
local key = P .. 'agent:' .. agent
redis.call('HSET', key, 'session', session, 'instance', instance, 'capacity', capacity, 'capabilities', caps,
  'labels', labels, 'free_us', int(now))
redis.call('HDEL', key, 'detach', 'claim_nonce', 'claim_ids')
redis.call('ZADD', P .. 'agents', int(now), agent)

local keep, lost = {}, {}
for i = 8, #ARGV, 2 do
  if holds(agent, ARGV[i], ARGV[i + 1]) then
    keep[ARGV[i]] = true
    renew(ARGV[i], lease)
  else
    lost[#lost + 1] = ARGV[i]
    lost[#lost + 1] = ARGV[i + 1]
  end
end
for _, id in ipairs(redis.call('SMEMBERS', P .. 'held:' .. agent)) do
  if not keep[id] then release(agent, id, redis.call('HGET', P .. 'task:' .. id, 'attempt')) end
end
publish('a:' .. agent)
return lost
