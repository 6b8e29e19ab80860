-- Asks for the orderly end of an agent's stream. ARGV: agent, session. The
-- stream's next claim answers "detached". An older session is left alone.
if redis.call('HGET', P .. 'agent:' .. ARGV[1], 'session') == ARGV[2] then
  redis.call('HSET', P .. 'agent:' .. ARGV[1], 'detach', ARGV[2])
  publish('a:' .. ARGV[1])
end
return 1
