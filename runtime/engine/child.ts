import { closeProcess } from '#runtime/engine/closed.js'

// The engine's process. It closes itself first and loads the rest afterwards: no key exists while it could be read.
closeProcess({
  dangerousAllowInspection: process.argv.includes('--dangerous-allow-inspection'),
  endWithParent: true,
})
const { serve } = await import('#runtime/engine/serve.js')
await serve()
