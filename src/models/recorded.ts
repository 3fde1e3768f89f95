// Recorded models that ship with the program: decisions that a model once made, replayed word for word. What they decide is
// recorded; every command they call is executed for real.
import type { ScriptedTurn } from "./scripted.ts"

const run = (text: string, command: string): ScriptedTurn => ({ text, calls: [{ tool: "run", input: { command } }] })

/** A messy folder with invoices, logs, notes and duplicates: sort it, add it up, fix the script, report. */
const demo: readonly ScriptedTurn[] = [
  run("First I look at what is there.", "ls -l"),
  run("Invoices, logs, notes, and some names look like copies. What do they contain?", "head -n 3 *.csv invoice-* | head -n 40"),
  run("I sort the files by kind.", "mkdir -p invoices logs notes && mv invoice-* *.csv invoices/ && mv *.log logs/ && mv *.txt notes/ && ls -R"),
  run("Copies have the same content, so I compare check sums.", "cd invoices && sha256sum * | sort | awk 'seen[$1]++ { print $2 }' | tee ../duplicates.list"),
  run("I put the copies aside; nothing is deleted.", "mkdir -p duplicates && while read -r f; do mv \"invoices/$f\" duplicates/; done < duplicates.list && rm duplicates.list && ls duplicates"),
  run("Now the script that is meant to add up the invoices.", "cat total.sh && sh total.sh"),
  run("It reads column 2, but the amount is in column 3, and it expects the files beside it. I correct both.", "sed -i 's/\\$2/$3/; s#\\*\\.csv#invoices/*.csv#' total.sh && cat total.sh && sh total.sh"),
  run("The total is right now. I count the errors in the logs.", "grep -h ERROR logs/*.log | cut -d' ' -f3- | sort | uniq -c | sort -rn | tee errors.summary"),
  run(
    "And the report.",
    "{ echo '# Report'; echo; echo \"Invoices: $(ls invoices | wc -l), copies put aside: $(ls duplicates | wc -l)\"; sh total.sh; echo; echo '## Errors in the logs'; echo; cat errors.summary; } > REPORT.md && rm errors.summary && cat REPORT.md",
  ),
  run("Last, I check that nothing was lost.", "find . -type f | sort && test -s REPORT.md && echo all there"),
  {
    text: "Done. The folder is sorted into invoices, logs and notes; copies are in duplicates/, nothing was deleted. total.sh read the wrong column and looked in the wrong place: it is corrected. Totals and the most frequent errors are in REPORT.md.",
  },
]

export const recordedScripts: Readonly<Record<string, readonly ScriptedTurn[]>> = { demo }
