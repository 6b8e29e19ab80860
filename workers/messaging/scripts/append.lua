-- Stores a round of chunks in one mailbox, as one entry.
-- KEYS: log, state, then one key for each chunk: what its identity is known by.
-- ARGV: most messages not acknowledged ('0': a topic, which drops its oldest),
-- most entries of a topic, ms that an untouched mailbox is kept, ms that an id
-- is remembered; then for each chunk: first sequence number (or, of one that has an
-- id instead, 'x' and its body's digest), how many messages, the record.
-- Answers the cursor before and the cursor now; where not all were stored, then for
-- each chunk one of: stored, duplicate <cursor or ''>, part <last stored>,
-- gap <last stored>, conflict (the id is another body's), full.
-- Ids: <ms>-<number of the entry's last message>. Numbers are dense; the time in
-- front keeps a number that a failover took back from being taken for its successor.
-- Each call and each new string costs more than the rest: what is known of all
-- chunks is read at once and written once for each key, and the usual answer is short.
local call, text = redis.call, string.format
local most, entries, keep, remember = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local state = call('HMGET', KEYS[2], 'ms', 'n', 'an', 'kept')
local was, n, acked = tonumber(state[1] or 0), tonumber(state[2] or 0), tonumber(state[3] or 0)
local now = call('TIME')
local ms = math.max(was, now[1] * 1000 + math.floor(now[2] / 1000))
local known, changed = {}, {}
for i = 3, #KEYS, 1000 do
  local got = call('MGET', unpack(KEYS, i, math.min(i + 999, #KEYS)))
  for j = 1, #got do known[KEYS[i + j - 1]] = got[j] end
end
local said, accepted, before = {}, {}, n
local at = 5
for i = 3, #KEYS do
  local key, count = KEYS[i], tonumber(ARGV[at + 1])
  local seq, seen = tonumber(ARGV[at]) or 0, known[key]
  local last = seq > 0 and tonumber(seen or 0) or 0
  local word
  if seq == 0 and seen then
    -- One without a digest was stored by a version before digests: its id alone tells.
    local cursor, digest = string.match(seen, '^(%S+) ?(%S*)$')
    if digest == '' or digest == ARGV[at] then word = 'duplicate ' .. cursor else word = 'conflict' end
  elseif seq > last + 1 then word = text('gap %.0f', last)
  elseif seq > 0 and seq + count - 1 <= last then word = 'duplicate '
  elseif seq > 0 and seq <= last then word = text('part %.0f', last)
  elseif most > 0 and n - acked + count > most then word = 'full'
  else
    n = n + count
    accepted[#accepted + 1] = ARGV[at + 2]
    if seq > 0 then
      if type(seen) ~= 'number' then changed[#changed + 1] = key end
      known[key] = seq + count - 1
    else
      seen = text('%.0f-%.0f %s', ms, n, ARGV[at])
      known[key] = seen
      call('SET', key, seen, 'PX', remember)
    end
    word = 'stored'
  end
  said[i - 2] = word
  at = at + 3
end
local out = {text('%.0f-%.0f', was, before), text('%.0f-%.0f', ms, n)}
if n > before then
  for i = 1, #changed do call('SET', changed[i], known[changed[i]], 'PX', keep) end
  local round = accepted[1]
  if #accepted > 1 then round = table.concat(accepted) end
  if most > 0 then call('XADD', KEYS[1], out[2], 'd', round)
  else call('XADD', KEYS[1], 'MAXLEN', '~', entries, out[2], 'd', round) end
  call('HSET', KEYS[2], 'ms', ms, 'n', n)
  -- Its life is drawn out once an hour: each write here is one more in the AOF.
  if ms - tonumber(state[4] or 0) > 3600000 then
    call('HSET', KEYS[2], 'kept', ms)
    call('PEXPIRE', KEYS[1], keep)
    call('PEXPIRE', KEYS[2], keep)
  end
end
if #accepted < #said then
  for i = 1, #said do out[i + 2] = said[i] end
end
return out
