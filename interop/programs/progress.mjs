// How far a program is, in one line: written anew on a terminal, elsewhere a line for every so many that are done.

const LENGTH = 30;

export function startProgress(every) {
  const { stdout } = process;
  let shown;
  return (done, underWay, waiting, cost) => {
    const all = Math.max(done + underWay + waiting, 1);
    const full = Math.floor((LENGTH * done) / all);
    const begun = Math.ceil((LENGTH * (done + underWay)) / all) - full;
    const bar = `${"█".repeat(full)}${"▒".repeat(begun)}`.padEnd(LENGTH, "░");
    const line = `${bar} ${done} done, ${underWay} under way, ${waiting} waiting, $${cost.toFixed(4)}`;
    const isLast = done === all;
    if (stdout.isTTY) {
      stdout.write(`\r${line}\u001b[K${isLast ? "\n" : ""}`);
    } else if (
      shown === undefined ||
      done >= shown + every ||
      (isLast && done > shown)
    ) {
      shown = done;
      console.log(line);
    }
  };
}
