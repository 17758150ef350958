import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { stopCluster } from './postgres-cluster.js'

/** One folder for each run of the tests; whatever was started in it ends with it. */
export function setup(project: TestProject): () => void {
  const folder = mkdtempSync(join(tmpdir(), 'claviger-test-'))
  writeFileSync(join(folder, 'pid'), String(process.pid))
  project.provide('runFolder', folder)
  process.env.CLAVIGER_TEST_RUN_FOLDER = folder // for the reporter, in this process
  return () => {
    stopCluster(folder)
    if (process.env.CLAVIGER_TEST_KEEP === undefined)
      setImmediate(() => rmSync(folder, { recursive: true, force: true }))
  }
}
