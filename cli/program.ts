import { Command } from 'commander'
import * as attest from '#cli/attest.js'
import * as bundle from '#cli/bundle.js'
import * as caller from '#cli/caller.js'
import * as collateral from '#cli/collateral.js'
import * as demo from '#cli/demo.js'
import * as dev from '#cli/dev.js'
import * as host from '#cli/host.js'
import * as init from '#cli/init.js'
import * as inspect from '#cli/inspect.js'
import * as keys from '#cli/keys.js'
import * as lease from '#cli/lease.js'
import * as model from '#cli/model.js'
import type { Io } from '#cli/output.js'
import * as policy from '#cli/policy.js'
import * as proxy from '#cli/proxy.js'
import * as receipt from '#cli/receipt.js'
import * as register from '#cli/register.js'
import * as runNode from '#cli/run.js'
import * as runtime from '#cli/runtime.js'
import * as seal from '#cli/seal.js'
import * as serve from '#cli/serve.js'
import * as tenant from '#cli/tenant.js'
import * as unseal from '#cli/unseal.js'
import * as verify from '#cli/verify.js'

const commands = [
  keys,
  seal,
  inspect,
  unseal,
  runtime,
  init,
  register,
  host,
  runNode,
  verify,
  attest,
  receipt,
  bundle,
  policy,
  lease,
  caller,
  tenant,
  proxy,
  collateral,
  model,
  serve,
  dev,
  demo,
]

/** The whole command line; commands get the process through `io` only. */
export function createProgram(io: Io): Command {
  const program = new Command('claviger')
    .description('releases the key of an encrypted ONNX model only to a node that proves what it is')
    .exitOverride()
    .showHelpAfterError('(add --help for the options and an example)')
    .configureOutput({ writeOut: (text) => io.stdout(text), writeErr: (text) => io.stderr(text) })
  for (const command of commands) command.describe(program, io)
  return program
}
