-- Orthanc sends every radiograph on to ALTA as it arrives; reports that come back are of modality SR and stay here.
function OnStoredInstance(instance, tags, metadata)
  if tags["Modality"] == "CR" or tags["Modality"] == "DX" then
    SendToModality(instance, "alta")
  end
end
