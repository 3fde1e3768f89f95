// Labels: joined, they only ever become less trusted and more private.
import { integrities, type Label, privacies } from "../protocol/event.ts"

/** What the host itself writes: as trusted as the owner, as private as the workspace. */
export const hostLabel: Label = { integrity: "owner", privacy: "workspace" }

/** The label of something made from both. */
export function joinLabels(a: Label, b: Label): Label {
  return {
    integrity: integrities[Math.max(integrities.indexOf(a.integrity), integrities.indexOf(b.integrity))] ?? "web",
    privacy: privacies[Math.max(privacies.indexOf(a.privacy), privacies.indexOf(b.privacy))] ?? "secret",
  }
}
