-- Hands out messages.
--
--   ARGV  1 how many  2 lease in ms  3 most deliveries  4 a: suspects too (empty: stop before one)
--   →     {parts handed out, parts that are poison, ms until a message comes back by itself (-1: never),
--         1 if a suspect is next}
--         a part is base (or message id, where the payload is its own), payload, and
--         of each range: first index and count (2 bytes each) and deliveries (1)
--
-- First it puts back, in front of the list, what was held too long and what has
-- waited for its time, a bounded number at a time, so that no call takes long.
--
-- Poison was handed out often enough; it is leased like the others and not handed
-- out, for the caller to bury. What came back twice in a row because its holder
-- died is suspect, and is handed out alone: then it cannot take others with it.
-- So is what came back once and has but one delivery left.
local want, lease, most, any = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == 'a'
for _, w in ipairs({DELAYED, HELD}) do
  local members = redis.call('ZRANGEBYSCORE', zsets[w], '-inf', now, 'LIMIT', 0, 200)
  local front = {}
  for i = #members, 1, -1 do
    local base, first = string.sub(members[i], 1, 16), number(members[i], 17)
    for _, r in ipairs(record(base) or {}) do
      if r.f == first and r.w == w then
        r.w = READY
        if w == HELD then r.l = math.min(r.l + 1, 255) end
        moved[w] = moved[w] - r.n
        dirty[base] = true
        front[#front + 1] = reference(base, first, r.n)
      end
    end
  end
  each('LPUSH', KEYS[1], front)
  each('ZREM', zsets[w], members)
end

local got, bad, tries, out, poison, leased, stop, waits = 0, 0, 0, {}, {}, {}, false, 0
-- part adds a range to what is returned.
local function part(list, base, r, payload)
  local range = pack(r.f) .. pack(r.n) .. string.char(r.d)
  local last = list[#list]
  if r.o == 1 then
    list[#list + 1] = {base .. pack(r.f), redis.call('HGET', KEYS[2], base .. pack(r.f)) or '', range}
  elseif last and last[1] == base then
    last[3] = last[3] .. range
  else
    list[#list + 1] = {base, payload, range}
  end
end

while got < want and bad < want and tries < 100 and not stop do
  tries = tries + 1
  local refs = redis.call('LRANGE', KEYS[1], 0, 63)
  if #refs == 0 then break end
  -- As many as their counts say are needed, read at once.
  local need, bases = 0, {}
  for i, ref in ipairs(refs) do
    if need >= want - got then break end
    need = need + number(ref, 19)
    bases[i] = string.sub(ref, 1, 16)
  end
  local payloads = redis.call('HMGET', KEYS[2], unpack(bases))
  local stored = redis.call('HMGET', KEYS[3], unpack(bases))
  local used, rest = 0, nil
  for i, base in ipairs(bases) do
    used = i
    local first, count = number(refs[i], 17), number(refs[i], 19)
    if records[base] == nil and stored[i] then records[base] = unpackRecord(stored[i]) end
    local list = records[base] or nil
    if not list and payloads[i] then list = whole(base, count) end
    if list then
      table.sort(list, function(a, b) return a.f < b.f end)
      local more = {}
      for _, r in ipairs(list) do
        if r.w == READY and r.f >= first and r.f < first + count then
          local suspect, n = r.d < most and (r.l >= 2 or r.l == 1 and r.d + 1 == most), r.n
          if suspect and (got > 0 or not any) then waits = 1 end
          if stop or got >= want or waits == 1 then
            rest, stop = rest or reference(base, r.f, first + count - r.f), true
            break
          end
          if r.d >= most then
            part(poison, base, r, payloads[i])
            bad = bad + n
          else
            n = suspect and 1 or math.min(n, want - got)
            if n < r.n then
              more[#more + 1] = {f = r.f + n, n = r.n - n, d = r.d, l = r.l, w = READY, o = r.o}
              rest = reference(base, r.f + n, first + count - r.f - n)
              r.n = n
            end
            r.d = r.d + 1
            got = got + n
            stop = suspect or rest
            part(out, base, r, payloads[i])
          end
          r.w = HELD
          moved[HELD] = moved[HELD] + n
          leased[#leased + 1] = now + lease
          leased[#leased + 1] = base .. pack(r.f)
          dirty[base] = true
        end
      end
      for _, r in ipairs(more) do list[#list + 1] = r end
    end
    if stop then break end
  end
  redis.call('LTRIM', KEYS[1], used, -1)
  if rest then redis.call('LPUSH', KEYS[1], rest) end
end
each('ZADD', KEYS[4], leased)
save()
if #out > 0 or #poison > 0 then return {out, poison, -1, waits} end
if tries == 100 then return {out, poison, 0, waits} end
local next = -1
for _, set in pairs(zsets) do
  local first = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')
  if #first > 0 then
    local wait = math.max(0, first[2] - now)
    if next < 0 or wait < next then next = wait end
  end
end
return {out, poison, next, waits}
