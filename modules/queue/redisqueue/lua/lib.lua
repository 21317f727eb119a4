-- What the scripts share that change where messages are. The keys of all scripts are always
-- the same first eight, and lie in one slot:
--
--   KEYS  1 ready    list of references to blocks, or parts of them, in order
--         2 blocks   hash of block key → payload
--         3 units    hash of base → record
--         4 leases   zset of base..first by the end of the lease, in ms: held
--         5 delayed  zset of base..first by its time, in ms: waits for it
--         6 n        hash of counts of messages: t all, h held, d delayed
--         7 dead     zset of message id by its burial, in us
--         8 letters  hash of message id → letter
--         9…         hashes of an hour's counts
--
-- A push is stored as blocks of messages, whose payload never changes. A block's
-- messages bear its base (16 bytes) and their index in it; base..index (18 bytes)
-- is a message's id. A reference is base, first index, count. Where a block's
-- messages are is said by its record, ranges of eight bytes:
--
--   first index, count (2 bytes each), deliveries, how often in a row its holder
--   died, where it is (1 ready, 2 held, 3 delayed), 1 if the payload is its own
--
-- A block without a record is ready as a whole and was never handed out. What is
-- done is in no range; with the last range go record and payload. A dead letter
-- that came back has a payload of its own, under its message id.
--
-- References are hints: they say where to look for ranges that are ready, and may
-- be stale or overlap. The record is what holds.

-- clock is the time in us.
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

local function pack(n) return string.char(math.floor(n / 256), n % 256) end
local function reference(base, first, count) return base .. pack(first) .. pack(count) end

-- each calls a command with a list's values, some thousand at a time.
local function each(command, key, values)
  for i = 1, #values, 4000 do
    redis.call(command, key, unpack(values, i, math.min(i + 3999, #values)))
  end
end

-- enter adds to an hour's counts; key is which of KEYS, 0: do not count.
local function enter(key, field, n, keep)
  if key == 0 or n == 0 then return end
  -- The hour's first count sets when it is forgotten.
  if redis.call('HINCRBY', KEYS[key], field, n) == n and keep > 0 then
    redis.call('PEXPIRE', KEYS[key], keep, 'NX')
  end
end

local READY, HELD, DELAYED = 1, 2, 3
local nowus = clock()
local now = math.floor(nowus / 1000)
local zsets = {[HELD] = KEYS[4], [DELAYED] = KEYS[5]}

-- records that were read, and those that were changed
local records, dirty = {}, {}
-- changes of n; members to remove from the zsets; payloads to delete
local total, moved, leave, gone = 0, {0, 0, 0}, {[HELD] = {}, [DELAYED] = {}}, {}

local function number(s, at) return string.byte(s, at) * 256 + string.byte(s, at + 1) end

local function unpackRecord(s)
  local list = {}
  for p = 1, #s, 8 do
    local f, n, d, l, w, o = struct.unpack('>HHBBBB', s, p)
    list[#list + 1] = {f = f, n = n, d = d, l = l, w = w, o = o}
  end
  return list
end

-- record returns a block's ranges; nil: the block has none, and is whole if it is.
local function record(base)
  local r = records[base]
  if r == nil then
    local s = redis.call('HGET', KEYS[3], base)
    r = s and unpackRecord(s)
    records[base] = r
  end
  return r or nil
end

-- whole makes the record of a block that has none.
local function whole(base, count)
  records[base] = {{f = 0, n = count, d = 0, l = 0, w = READY, o = 0}}
  return records[base]
end

-- cut takes the messages first … first+count-1 out of a record, those that are
-- where in says, and returns them as ranges. The zsets follow.
local function cut(base, first, count, allowed)
  local list, out, left = record(base), {}, {}
  if not list then return out end
  local stop = first + count
  for _, r in ipairs(list) do
    local a, b = math.max(first, r.f), math.min(stop, r.f + r.n)
    if a < b and allowed[r.w] then
      out[#out + 1] = {f = a, n = b - a, d = r.d, l = r.l, w = r.w, o = r.o}
      local set = zsets[r.w]
      if b < r.f + r.n then
        left[#left + 1] = {f = b, n = r.f + r.n - b, d = r.d, l = r.l, w = r.w, o = r.o}
        if set then redis.call('ZADD', set, redis.call('ZSCORE', set, base .. pack(r.f)), base .. pack(b)) end
      end
      if set and a == r.f then
        local l = leave[r.w]
        l[#l + 1] = base .. pack(r.f)
      end
      if a > r.f then
        r.n = a - r.f
        left[#left + 1] = r
      end
      moved[r.w] = moved[r.w] - (b - a)
      dirty[base] = true
    else
      left[#left + 1] = r
    end
  end
  records[base] = left
  return out
end

-- finish forgets what cut returned.
local function finish(base, cuts)
  local n = 0
  for _, r in ipairs(cuts) do
    n = n + r.n
    if r.o == 1 then gone[#gone + 1] = base .. pack(r.f) end
  end
  total = total - n
  return n
end

-- put puts a range into a record, for a time if it waits for one.
local function put(base, r, at)
  local list = records[base]
  list[#list + 1] = r
  if zsets[r.w] then
    redis.call('ZADD', zsets[r.w], at, base .. pack(r.f))
  end
  moved[r.w] = moved[r.w] + r.n
  dirty[base] = true
end

-- save writes everything that was changed.
local function save()
  local set, del = {}, {}
  for base in pairs(dirty) do
    local list, shared, s = records[base], false, {}
    table.sort(list, function(a, b) return a.f < b.f end)
    for i, r in ipairs(list) do
      s[i] = struct.pack('>HHBBBB', r.f, r.n, r.d, r.l, r.w, r.o)
      shared = shared or r.o == 0
    end
    if #list > 0 then
      set[#set + 1] = base
      set[#set + 1] = table.concat(s)
    else
      del[#del + 1] = base
    end
    if not shared then gone[#gone + 1] = base end
  end
  each('HSET', KEYS[3], set)
  each('HDEL', KEYS[3], del)
  each('HDEL', KEYS[2], gone)
  each('ZREM', KEYS[4], leave[HELD])
  each('ZREM', KEYS[5], leave[DELAYED])
  if total ~= 0 and redis.call('HINCRBY', KEYS[6], 't', total) == 0 then
    redis.call('DEL', KEYS[1]) -- what references are left are stale
  end
  if moved[HELD] ~= 0 then redis.call('HINCRBY', KEYS[6], 'h', moved[HELD]) end
  if moved[DELAYED] ~= 0 then redis.call('HINCRBY', KEYS[6], 'd', moved[DELAYED]) end
end
