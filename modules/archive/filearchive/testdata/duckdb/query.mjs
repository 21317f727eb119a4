// Prints the rows of a query as JSON: node query.mjs "SELECT …"
import { DuckDBInstance } from "@duckdb/node-api";

const db = await (await DuckDBInstance.create(":memory:")).connect();
const rows = await (await db.runAndReadAll(process.argv[2])).getRowObjectsJson();
console.log(JSON.stringify(rows));
