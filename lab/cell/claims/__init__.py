"""What an experiment declares and reports, and how a number decides a claim."""
