-- Acknowledges what is done in a mailbox, then stores a round of chunks in it, as one entry.
-- KEYS: log, state, the senders' numbers of even and of odd generations, then for each
-- chunk with an id what the id is known by.
-- ARGV: most messages not acknowledged ('0': a topic, which drops its oldest), most entries
-- of a topic, ms that an untouched mailbox is kept, ms that an id is remembered; the two
-- halves of the cursor to acknowledge, or '' and ''; all records; packed for each chunk: the
-- number of its first message (0: it has an id), how many, and its record's length; how many
-- chunks are numbered. Those come first, each with its sender's name and the number of its
-- last message; behind them for each with an id its body's digest.
-- Answers the cursor before, the cursor now, and how many messages were acknowledged, -1 where
-- the mailbox ends before the cursor: nobody acknowledges what is not there yet. Where not all
-- was stored, then for each chunk one of: stored, duplicate <cursor or ''>, part <last stored>,
-- gap <last stored>, conflict (the id is another body's), full.
-- Ids: <ms>-<number of the entry's last message>. Numbers are dense; the time in
-- front keeps a number that a failover took back from being taken for its successor.
-- A sender's last number lies in the generation in which it last sent. One lasts as long as a
-- mailbox is kept and is dropped whole at the end of the next: no number needs a key.
-- Each call, each argument and each number written as text costs more than the rest: what is
-- known of all chunks is read at once and written at once, and the usual answer is short.
local call, text = redis.call, string.format
local log, place = KEYS[1], KEYS[2]
local keep = tonumber(ARGV[3])
local state = call('HMGET', place, 'ms', 'n', 'ams', 'an', 'kept')
local was, start = tonumber(state[1] or 0), tonumber(state[2] or 0)
local was_done, done = tonumber(state[3] or 0), tonumber(state[4] or 0)
local set, acked, trim = {}, 0, nil

if ARGV[5] ~= '' then
  local ms, n = tonumber(ARGV[5]), tonumber(ARGV[6])
  if ms > was or ms == was and n > start then
    acked = -1
  elseif ms > was_done or ms == was_done and n > done then
    set = {'ams', ARGV[5], 'an', ARGV[6]}
    trim = text('%s-%d', ARGV[5], n + 1)
    acked, done = math.max(0, n - done), n
  end
end

local ms, n, stored = was, start, 0
local sizes, numbered = cmsgpack.unpack(ARGV[8]), tonumber(ARGV[9])
local chunks, most = #sizes / 3, tonumber(ARGV[1])
if most == 0 then most = math.huge end
if chunks > 0 then
  local now = call('TIME')
  ms = math.max(was, now[1] * 1000 + math.floor(now[2] / 1000))
end
local generation = math.floor(ms / keep)
local numbers, before = KEYS[3 + generation % 2], KEYS[4 - generation % 2]

-- What is known of each sender: mostly all stand in this generation.
local names, got = {}, {}
for i = 1, numbered do names[i] = ARGV[8 + 2 * i] end
if numbered <= 1000 then
  if numbered > 0 then got = call('HMGET', numbers, unpack(names)) end
else
  for i = 1, numbered, 1000 do
    local part = call('HMGET', numbers, unpack(names, i, math.min(i + 999, numbered)))
    for j = 1, #part do got[i + j - 1] = part[j] end
  end
end
for i = 1, numbered do
  if not got[i] then
    -- A version before generations kept each number under a key.
    got[i] = call('HGET', before, names[i]) or call('GET', string.sub(log, 1, -4) .. 'from:' .. names[i]) or '0'
  end
end

-- said are the words for what is not stored; known are the last numbers of this round, in
-- which a sender may come twice.
local said, known = nil, {}
for i = 1, numbered do
  local name, first, count = names[i], sizes[3 * i - 2], sizes[3 * i - 1]
  local last = known[name] or tonumber(got[i])
  local word
  if first > last + 1 then word = text('gap %d', last)
  elseif first + count - 1 <= last then word = 'duplicate '
  elseif first <= last then word = text('part %d', last)
  elseif n - done + count > most then word = 'full'
  else
    n = n + count
    stored = stored + 1
    known[name] = last + count
  end
  if word then
    said = said or {}
    said[i] = word
  end
end
for i = numbered + 1, chunks do
  local key, digest = KEYS[4 + i - numbered], ARGV[9 + numbered + i]
  local count, seen, word = sizes[3 * i - 1], call('GET', key), nil
  if seen then
    -- One without a digest was stored by a version before digests: its id alone tells.
    local cursor, of = string.match(seen, '^(%S+) ?(%S*)$')
    word = (of == '' or of == digest) and 'duplicate ' .. cursor or 'conflict'
  elseif n - done + count > most then word = 'full'
  else
    n = n + count
    stored = stored + 1
    call('SET', key, text('%d-%d %s', ms, n, digest), 'PX', ARGV[4])
  end
  if word then
    said = said or {}
    said[i] = word
  end
end

local out = {text('%d-%d', was, start), text('%d-%d', ms, n), text('%d', acked)}
local records, pairs, from, upto = ARGV[7], ARGV, 10, 9 + 2 * numbered
if said then
  local accepted, at = {}, 1
  pairs, from = {}, 1
  for i = 1, chunks do
    if not said[i] then
      accepted[#accepted + 1] = string.sub(records, at, at + sizes[3 * i] - 1)
      if i <= numbered then
        pairs[#pairs + 1] = names[i]
        pairs[#pairs + 1] = ARGV[9 + 2 * i]
      end
    end
    at = at + sizes[3 * i]
    out[3 + i] = said[i] or 'stored'
  end
  records, upto = table.concat(accepted), #pairs
end
if trim then call('XTRIM', log, 'MINID', '=', trim) end
if stored > 0 then
  local added = 0
  for i = from, upto, 1000 do added = added + call('HSET', numbers, unpack(pairs, i, math.min(i + 999, upto))) end
  if added > 0 then
    call('PEXPIREAT', numbers, text('%d', (generation + 2) * keep))
    -- Redis keeps a small hash as a list and walks it for each name; a name of more than 64
    -- bytes makes a table of it.
    if call('HLEN', numbers) > 16 then call('HSET', numbers, string.rep('-', 65), '0') end
  end
  if most < math.huge then call('XADD', log, out[2], 'd', records)
  else call('XADD', log, 'MAXLEN', '~', ARGV[2], out[2], 'd', records) end
  local at = #set
  set[at + 1], set[at + 2], set[at + 3], set[at + 4] = 'ms', text('%d', ms), 'n', text('%d', n)
end
if #set > 0 then
  -- Its life is drawn out once an hour: each write here is one more in the AOF.
  local old = ms - tonumber(state[5] or 0) > 3600000
  if old then set[#set + 1], set[#set + 2] = 'kept', text('%d', ms) end
  call('HSET', place, unpack(set))
  if old then
    call('PEXPIRE', log, keep)
    call('PEXPIRE', place, keep)
  end
end
return out
