-- Stores blocks, letters and counts.
--
--   ARGV  1 how long counts are kept, in ms  2 how many blocks, letters and counts, with commas between
--         for each block: base, how many messages, payload
--         for each letter: message id, letter
--         for each count: which of KEYS, field, how many
--   →     1, or 0 if the push was stored before
--
-- The client sends a push again when the connection broke before the answer; then
-- its first block or letter is there already, and so is all the rest.
local keep = tonumber(ARGV[1])
local blocks, letters, counts = string.match(ARGV[2], '(%d+),(%d+),(%d+)')
local at, refs, n = 3, {}, 0
for i = 1, tonumber(blocks) do
  local base, count = ARGV[at], tonumber(ARGV[at + 1])
  if redis.call('HSETNX', KEYS[2], base, ARGV[at + 2]) == 0 then return 0 end
  refs[i] = reference(base, 0, count)
  n = n + count
  at = at + 3
end
if n > 0 then
  each('RPUSH', KEYS[1], refs)
  redis.call('HINCRBY', KEYS[6], 't', n)
end
if tonumber(letters) > 0 then
  local last = redis.call('ZRANGE', KEYS[7], -1, -1, 'WITHSCORES')
  local score = math.max(clock(), (tonumber(last[2]) or 0) + 1)
  for i = 1, tonumber(letters) do
    if redis.call('HSETNX', KEYS[8], ARGV[at], ARGV[at + 1]) == 0 then return 0 end
    redis.call('ZADD', KEYS[7], string.format('%.0f', score), ARGV[at])
    score = score + 1
    at = at + 2
  end
end
for i = 1, tonumber(counts) do
  enter(tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 2]), keep)
  at = at + 3
end
return 1
