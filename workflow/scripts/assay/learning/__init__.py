"""What trains: the images, the course's network, the optimiser's step, paired experiments.

For measuring scripts and for the rooms above; the figures are accuracies, never times.
"""
