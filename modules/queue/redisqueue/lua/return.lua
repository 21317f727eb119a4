-- Hands messages back that are held.
--
--   ARGV  1 in how many ms they come again  2 u: untried, so that the delivery does not count (empty: it does)
--         for each group: base, ranges (first index and count, 2 bytes each)
--   →     how many
--
-- Those whose time is now go in front of the list, in their order, where waiting
-- pullers see them.
local wait, untried, n, refs = tonumber(ARGV[1]), ARGV[2] == 'u', 0, {}
for at = 3, #ARGV, 2 do
  local base, list = ARGV[at], ARGV[at + 1]
  for p = 1, #list, 4 do
    for _, r in ipairs(cut(base, number(list, p), number(list, p + 2), {false, true, false})) do
      n = n + r.n
      r.l = 0
      if untried then r.d = math.max(0, r.d - 1) end
      r.w = wait > 0 and DELAYED or READY
      put(base, r, now + wait)
      if wait <= 0 then refs[#refs + 1] = reference(base, r.f, r.n) end
    end
  end
end
for i = #refs, 1, -1 do redis.call('LPUSH', KEYS[1], refs[i]) end
save()
return n
