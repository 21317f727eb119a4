-- Unique, realistic events for wrk. Arguments after "--":
--   events.lua FORMAT BATCH RUN
-- FORMAT  envelope (POST, JSON) | pixel (GET, query string)
-- BATCH   events a request (pixel: 1)
-- RUN     16 hex digits, new for each run: part of every event id
-- The whole request is made once for each of 64 pages and cut at the ids, so
-- that a request costs wrk a concatenation.
local UA = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Safari/537.36"
local NOW = "2026-11-22T10:00:00.000Z"
local HOLE = "ZZZZZZZZZZZZ"
local threads = {}

function setup(thread)
  thread:set("tid", #threads)
  table.insert(threads, thread)
end

local function id(run)
  return "0193" .. run:sub(1, 4) .. "-" .. run:sub(5, 8) .. "-7" .. run:sub(9, 11) .. "-8" .. run:sub(12, 14) .. "-" .. HOLE
end

local function body(batch, run, p)
  local anon = "7d1f2c3b-9a4e-4c58-b6d7-" .. string.format("%012x", p)
  local page = '{"url":"https://shop.example.com/shoes/item-' .. p .. '?utm_source=google&utm_campaign=spring","referrer":"https://www.google.com/","title":"Running shoe ' .. p .. ' | Shop"}'
  local props = '{"value":99.5,"currency":"GBP","items":[{"item_id":"SKU' .. p .. '","item_name":"Running shoe","price":99.5,"quantity":1}]}'
  local list = {}
  for i = 1, batch do
    list[i] = '{"id":"' .. id(run) .. '","name":"view_item","time":"' .. NOW .. '","properties":' .. props .. '}'
  end
  return '{"pixel_id":"px_demo","sent_at":"' .. NOW .. '","consent":{"gdpr_applies":false,"us_privacy":"1YNN","state":"full"},"identity":{"anonymous_id":"' .. anon ..
    '"},"context":{"page":' .. page .. ',"locale":"en-GB","timezone":"Europe/London","screen":{"width":1920,"height":1080},"sdk":{"name":"web","version":"1.0.0"}},"events":[' .. table.concat(list, ",") .. ']}'
end

local function query(run, p)
  return "?pid=px_demo&e=page_view&eid=" .. id(run) .. "&u=https%3A%2F%2Fshop.example.com%2Fshoes%2Fitem-" .. p ..
    "&r=https%3A%2F%2Fwww.google.com%2F&gdpr=0&us_privacy=1YNN&p.color=blue"
end

local function cut(s)
  local parts, from = {}, 1
  while true do
    local a, b = s:find(HOLE, from, true)
    parts[#parts + 1] = s:sub(from, a and a - 1)
    if not a then return parts end
    from = b + 1
  end
end

local pages, n, prefix = {}, 0, ""

function init(args)
  local format, batch, run = args[1] or "envelope", tonumber(args[2] or "1"), args[3] or string.format("%016x", os.time())
  wrk.headers["User-Agent"] = UA
  wrk.headers["Accept"] = "*/*"
  prefix = string.format("%02x", tid or 0)
  for p = 0, 63 do
    if format == "pixel" then
      pages[p] = cut(wrk.format("GET", wrk.path .. query(run, p)))
    else
      wrk.headers["Content-Type"] = "application/json"
      pages[p] = cut(wrk.format("POST", wrk.path, nil, body(batch, run, p)))
    end
  end
end

function request()
  local parts = pages[n % 64]
  if #parts == 2 then
    n = n + 1
    return parts[1] .. prefix .. string.format("%010x", n) .. parts[2]
  end
  local out = {}
  for i = 1, #parts - 1 do
    n = n + 1
    out[2 * i - 1], out[2 * i] = parts[i], prefix .. string.format("%010x", n)
  end
  out[2 * #parts - 1] = parts[#parts]
  return table.concat(out)
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("RESULT requests=%d dur_us=%d errs=%d bad=%d p50_us=%d p99_us=%d p999_us=%d max_us=%d\n",
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
