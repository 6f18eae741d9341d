"""Where a scan's voxels lie in the patient: orientation, shear, slabs."""
