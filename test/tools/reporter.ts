import { writeFileSync } from 'node:fs'
import type { Reporter, TestModule, TestRunEndReason } from 'vitest/node'
import { notesOf } from '../fakes/run-folder.js'

/**
 * The last lines of a run: what it covered, what it skipped by name, and one plain line of counts.
 *
 * The files in which something failed are written into the file that CLAVIGER_FAILED_FILES names, a line each; errors that
 * belong to no file as a line without a name of one.
 */
export class LastLines implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandled: readonly unknown[], _reason: TestRunEndReason): void {
    const counts = { passed: 0, failed: unhandled.length, skipped: 0, pending: 0 }
    for (const one of modules) {
      for (const test of one.children.allTests()) counts[test.result().state]++
      // A file that does not load has no tests: it counts as one that failed.
      if (one.errors().length > 0) counts.failed++
    }
    const failed = modules.filter((one) => one.state() === 'failed').map((one) => one.relativeModuleId)
    if (unhandled.length > 0) failed.push('(none)')
    const list = process.env.CLAVIGER_FAILED_FILES ?? ''
    if (list !== '') writeFileSync(list, failed.map((one) => `${one}\n`).join(''))
    const folder = process.env.CLAVIGER_TEST_RUN_FOLDER ?? ''
    const databases = notesOf(folder, 'databases')
    const skips = notesOf(folder, 'skips')
    const lines = [
      `databases: ${databases.length > 0 ? databases.join(', ') : 'none in this run'}`,
      `skipped for want of: ${skips.length > 0 ? skips.join(', ') : 'nothing'}`,
      `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped + counts.pending} skipped`,
    ]
    process.on('exit', () => process.stdout.write(`\n${lines.join('\n')}\n`))
  }
}
