"""Programs of the user's: any command, run again and again in a cell, with what each run took."""
