"""Judge what was measured: records -> proofs -> verdicts, and what they add up to. Pure."""
