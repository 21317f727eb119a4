-- Stores blocks, letters and counts. What the keys are says lua/lib.lua.
--
--   ARGV  1 how long counts are kept, in ms  2 how many blocks, 3 letters, 4 messages in all blocks
--         for each block: reference, payload
--         for each letter: message id, letter
--         for each count: which of KEYS, field, how many
--   →     1, or 0 if the push was stored before
--
-- The client sends a push again when the connection broke before the answer; then
-- its first block or letter is there already, and so is all the rest.
--
-- This is the script that runs most, so it begins with no functions, which are made anew each
-- time, and hands numbers on as it was given them, as text.
local call = redis.call
local at, refs = 5, {}
for i = 1, tonumber(ARGV[2]) do
  local ref = ARGV[at]
  if call('HSETNX', KEYS[2], string.sub(ref, 1, 16), ARGV[at + 1]) == 0 then return 0 end
  refs[i] = ref
  at = at + 2
end
for i = 1, #refs, 4000 do
  call('RPUSH', KEYS[1], unpack(refs, i, math.min(i + 3999, #refs)))
end
if #refs > 0 then call('HINCRBY', KEYS[6], 't', ARGV[4]) end
local letters = tonumber(ARGV[3])
if letters > 0 then
  local last, time = call('ZRANGE', KEYS[7], -1, -1, 'WITHSCORES'), call('TIME')
  local score = math.max(time[1] * 1000000 + time[2], (tonumber(last[2]) or 0) + 1)
  for _ = 1, letters do
    if call('HSETNX', KEYS[8], ARGV[at], ARGV[at + 1]) == 0 then return 0 end
    call('ZADD', KEYS[7], string.format('%.0f', score), ARGV[at])
    score = score + 1
    at = at + 2
  end
end
for i = at, #ARGV, 3 do
  local key, n = KEYS[tonumber(ARGV[i])], ARGV[i + 2]
  -- The hour's first count sets when it is forgotten.
  if call('HINCRBY', key, ARGV[i + 1], n) == tonumber(n) and ARGV[1] ~= '0' then
    call('PEXPIRE', key, ARGV[1], 'NX')
  end
end
return 1
