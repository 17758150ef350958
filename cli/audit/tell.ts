import { exitCodes, type Io, paint, printable } from '#cli/output.js'
import { convicts, type Finding } from '#client/audit/findings.js'
import type { Followed } from '#client/audit/follow.js'

/** A finding as one line: where, what, code. */
export function tellFinding(finding: Finding, io: Io): void {
  const word = convicts(finding) ? paint(io, 'red', 'CONVICTS') : paint(io, 'yellow', 'notice')
  const place = finding.index === null ? 'log' : `#${finding.index}`
  io.stdout(`${word} ${place}: ${printable(finding.message)} (${finding.code})\n`)
}

/** What a run is told to machines as. */
export const runJson = (url: string, { state, tree, judged, findings }: Followed) => ({
  type: 'claviger/audit/v1',
  log: tree.origin,
  url,
  size: tree.treeSize,
  judged,
  cosigners: tree.cosigners.map(({ name, time }) => ({ name, time })),
  findings,
  convictions: state.convictions,
})

/** One run in words, or as JSON. returns: its exit code */
export function tellRun(url: string, run: Followed, args: { readonly json?: boolean | undefined }, io: Io): number {
  const { state, tree, judged, findings } = run
  const exit = state.convictions.length === 0 ? exitCodes.ok : exitCodes.verdict
  if (args.json) {
    io.stdout(`${JSON.stringify(runJson(url, run))}\n`)
    return exit
  }
  for (const finding of findings) tellFinding(finding, io)
  const earlier = state.convictions.length - findings.filter(convicts).length
  if (earlier > 0) {
    io.stdout(`of earlier runs, and not acknowledged:\n`)
    for (const finding of state.convictions.slice(0, earlier)) tellFinding(finding, io)
  }
  const by = tree.cosigners.length === 0 ? 'nobody' : tree.cosigners.map(({ name }) => printable(name)).join(', ')
  io.stdout(`${printable(tree.origin)}: ${tree.treeSize} entries, cosigned by ${by}; ${judged} judged now\n`)
  if (exit === exitCodes.ok) {
    io.stdout(`${paint(io, 'green', 'NOTHING CONVICTS')} this log or the brokers that write it\n`)
    return exit
  }
  io.stdout(`${paint(io, 'red', 'CONVICTED')} by ${state.convictions.length}; once they are known: --acknowledge\n`)
  return exit
}
