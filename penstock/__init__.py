"""What every Penstock service stands on."""
