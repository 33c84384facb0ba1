"""What people start, and in what order the stages run. No arrays here."""
