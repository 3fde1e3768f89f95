// The messy folder of the demo: made by the demo itself, the same every time.
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"

const invoices: Readonly<Record<string, string>> = {
  "invoice-014.txt": "Invoice 014\nNorthwind Paper\nTotal 182.40 EUR\n",
  "invoice-014 (copy).txt": "Invoice 014\nNorthwind Paper\nTotal 182.40 EUR\n",
  "invoice-015.txt": "Invoice 015\nBlue Kettle Coffee\nTotal 64.90 EUR\n",
  "january.csv": "date,customer,amount\n2026-01-08,Northwind Paper,182.40\n2026-01-19,Blue Kettle Coffee,64.90\n",
  "february.csv": "date,customer,amount\n2026-02-03,Harbour Lights,410.00\n2026-02-21,Northwind Paper,97.25\n",
  "february_final.csv": "date,customer,amount\n2026-02-03,Harbour Lights,410.00\n2026-02-21,Northwind Paper,97.25\n",
}

const logs: Readonly<Record<string, string>> = {
  "shop.log": [
    "09:00:01 INFO shop started",
    "09:14:22 ERROR payment timed out",
    "10:02:10 ERROR stock service not reachable",
    "11:45:00 ERROR payment timed out",
    "",
  ].join("\n"),
  "mail.log": ["09:00:00 INFO queue empty", "12:30:09 ERROR payment timed out", "13:00:00 INFO 14 mails sent", ""].join("\n"),
}

const others: Readonly<Record<string, string>> = {
  "todo.txt": "call Harbour Lights about February\norder paper\n",
  "ideas.txt": "a shelf for the invoices\n",
  "total.sh": "#!/bin/sh\n# Adds up the amounts of all invoices.\nawk -F, 'FNR > 1 { sum += $2 } END { printf \"Total %.2f EUR\\n\", sum }' *.csv\n",
}

/** Makes the folder and everything in it. */
export function writeDemoFiles(folder: string): void {
  mkdirSync(folder, { recursive: true })
  for (const [name, text] of Object.entries({ ...invoices, ...logs, ...others })) writeFileSync(join(folder, name), text)
}
