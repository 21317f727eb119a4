-- Ends messages, and counts them.
--
--   ARGV  1 how long counts are kept, in ms  2 w: only those that wait (empty: all)
--         for each end: which of KEYS (0: do not count), field, how many groups, and
--         for each group: base, messages in the block, ranges (first index and count, 2 bytes each)
--   →     how many there were
local keep, waiting = tonumber(ARGV[1]), ARGV[2] == 'w'
local allowed = {true, not waiting, true}
local all, at = 0, 3
while at <= #ARGV do
  local key, field, groups, n = tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 2]), 0
  at = at + 3
  for _ = 1, groups do
    local base, count, list = ARGV[at], tonumber(ARGV[at + 1]), ARGV[at + 2]
    -- Who never was handed out can only be ended where it waits.
    if waiting and not record(base) and redis.call('HEXISTS', KEYS[2], base) == 1 then whole(base, count) end
    for p = 1, #list, 4 do
      n = n + finish(base, cut(base, number(list, p), number(list, p + 2), allowed))
    end
    at = at + 3
  end
  enter(key, field, n, keep)
  all = all + n
end
save()
return all
